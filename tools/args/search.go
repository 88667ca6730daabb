package args

// WebSearch asks the configured search engine.
type WebSearch struct {
	Query string `json:"query" expr:"query"`
	Limit int    `json:"limit,omitempty" expr:"limit" desc:"most results, default 8"`
}

// Tool names the tool.
func (WebSearch) Tool() string { return "web_search" }
