package main

import (
	"errors"
	"fmt"

	"agentd/tools/web"
)

// searchConfig says which service web_search asks. Without it the environment does.
type searchConfig struct {
	Engine  string `yaml:"engine"`   // searxng, brave or tavily; default: what is set up
	URL     string `yaml:"url"`      // of searxng; of the others only where it is not the usual one
	KeyFile string `yaml:"key_file"` // mode 0600; else BRAVE_API_KEY or TAVILY_API_KEY
}

// searchEngine is the one that is set up, nil where none is.
func (c searchConfig) searchEngine(getenv func(string) string) (web.Engine, error) {
	url, key := c.URL, ""
	if c.KeyFile != "" {
		var err error
		if key, err = readSecret(c.KeyFile); err != nil {
			return nil, fmt.Errorf("search.key_file: %w", err)
		}
	}
	name := c.Engine
	switch {
	case name != "":
	case c.URL != "" && c.KeyFile == "":
		name = "searxng"
	case c.KeyFile != "":
		return nil, errors.New("search.engine: name brave or tavily, as search.key_file is one's key")
	case getenv("SEARXNG_URL") != "":
		name = "searxng"
	case getenv("BRAVE_API_KEY") != "":
		name = "brave"
	case getenv("TAVILY_API_KEY") != "":
		name = "tavily"
	default:
		return nil, nil
	}
	switch {
	case name == "searxng" && url == "":
		url = getenv("SEARXNG_URL")
	case name == "brave" && key == "":
		key = getenv("BRAVE_API_KEY")
	case name == "tavily" && key == "":
		key = getenv("TAVILY_API_KEY")
	}
	return web.NewEngine(name, url, key)
}

// search says which service web_search asks.
func (r *report) search(d *daemon, getenv func(string) string) {
	const fix = "to offer web_search, set SEARXNG_URL, BRAVE_API_KEY or TAVILY_API_KEY in the daemon's environment, or search in config.yaml"
	switch e, err := d.cfg.Search.searchEngine(getenv); {
	case err != nil:
		r.add("web search", "warn", fix, "%v", err)
	case e == nil:
		r.add("web search", "warn", fix, "none set up: runs have no web_search")
	default:
		r.add("web search", "ok", "", "%s", e.Name())
	}
}
