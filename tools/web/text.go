package web

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/url"
	"strings"
	"unicode"

	"codeberg.org/readeck/go-readability/v2"
	"github.com/JohannesKaufmann/html-to-markdown/v2/converter"
	"github.com/JohannesKaufmann/html-to-markdown/v2/plugin/base"
	"github.com/JohannesKaufmann/html-to-markdown/v2/plugin/commonmark"
	"github.com/JohannesKaufmann/html-to-markdown/v2/plugin/table"
	"golang.org/x/net/html"
	"golang.org/x/net/html/charset"
)

// worthReading is how many characters an article must have to stand for its whole page.
const worthReading = 250

// markdown is what is worth reading of a page, where that can be told, else all of it.
func markdown(ctx context.Context, src string, at *url.URL) (string, error) {
	title := ""
	doc, err := html.Parse(strings.NewReader(src)) // not by the parser's reader, which would guess a charset once more
	if err != nil {
		return "", err
	}
	parser := readability.NewParser()
	if article, err := parser.ParseDocument(doc, at); err == nil && article.Node != nil {
		var page, plain strings.Builder
		if errors.Join(article.RenderHTML(&page), article.RenderText(&plain)) == nil && len(strings.TrimSpace(plain.String())) > worthReading {
			src, title = page.String(), article.Title()
		}
	}
	c := converter.NewConverter(converter.WithPlugins(base.NewBasePlugin(), commonmark.NewCommonmarkPlugin(), table.NewTablePlugin()))
	text, err := c.ConvertString(src, converter.WithContext(ctx), converter.WithDomain(at.Scheme+"://"+at.Host))
	if text = strings.TrimSpace(text); err == nil && title != "" && !strings.Contains(text, "# "+title) {
		text = "# " + title + "\n\n" + text
	}
	return text, err
}

// toUTF8 decodes a body by its charset, or by what a page says of itself.
func toUTF8(body []byte, name, contentType string) []byte {
	if name == "" && !strings.Contains(contentType, "html") || strings.EqualFold(name, "utf-8") {
		return body
	}
	r, err := charset.NewReader(bytes.NewReader(body), contentType)
	if err != nil {
		return body
	}
	out, err := io.ReadAll(r)
	if err != nil {
		return body
	}
	return out
}

// visible drops what a person would not see and a model might read. Line ends and tabs stay.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), unicode.Is(unicode.Co, r), r >= 0xE0000 && r <= 0xE0FFF:
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// clip cuts s to at most n bytes at a rune's border.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n-len("…")], "") + "…"
}
