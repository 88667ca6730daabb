package browser

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"codeberg.org/readeck/go-readability/v2"
	"github.com/JohannesKaufmann/html-to-markdown/v2/converter"
	"github.com/JohannesKaufmann/html-to-markdown/v2/plugin/base"
	"github.com/JohannesKaufmann/html-to-markdown/v2/plugin/commonmark"
	"github.com/JohannesKaufmann/html-to-markdown/v2/plugin/table"
)

// extractBytes is how much of a text one call gives.
const extractBytes = 12 << 10

// extract gives the text of the page, or of one element, as Markdown, and a table as CSV.
func (x *action) extract(ctx context.Context) (string, error) {
	id, n := x.t.main, 0
	if x.a.Ref != "" {
		var err error
		if id, n, err = x.element(x.a.Ref); err != nil {
			return "", err
		}
	}
	var got *struct {
		HTML  string
		URL   string
		Cut   bool
		Table [][]string
	}
	if err := x.t.js(ctx, id, &got, "html", n); err != nil {
		return "", err
	}
	if got == nil {
		return "", errStale
	}
	var text string
	var err error
	if len(got.Table) > 0 {
		text, err = asCSV(got.Table)
	} else {
		text, err = markdown(ctx, got.HTML, got.URL, n == 0)
	}
	if err != nil {
		return "", refuse("no text could be made of it: %v", err)
	}
	room := extractBytes
	if x.env.Room > 0 {
		room = min(room, max(x.env.Room-headRoom, leastPage))
	}
	return quotedText(got.URL, text, x.a.Page, room, got.Cut), nil
}

func asCSV(rows [][]string) (string, error) {
	var b strings.Builder
	w := csv.NewWriter(&b)
	if err := w.WriteAll(rows); err != nil {
		return "", err
	}
	return b.String(), nil
}

// markdown converts HTML, and of a whole page only what is worth reading, where that can be told.
func markdown(ctx context.Context, src, base string, whole bool) (string, error) {
	at, err := url.Parse(base)
	if err != nil {
		at = &url.URL{}
	}
	title := ""
	if whole {
		parser := readability.NewParser()
		article, err := parser.Parse(strings.NewReader(src), at)
		if err == nil && article.Node != nil {
			var b strings.Builder
			var plain strings.Builder
			if errors.Join(article.RenderHTML(&b), article.RenderText(&plain)) == nil && len(strings.TrimSpace(plain.String())) > 250 {
				src, title = b.String(), article.Title()
			}
		}
	}
	text, err := convert(ctx, src, at)
	if title != "" && !strings.Contains(text, "# "+title) {
		text = "# " + title + "\n\n" + text
	}
	return text, err
}

func convert(ctx context.Context, src string, at *url.URL) (string, error) {
	c := converter.NewConverter(converter.WithPlugins(base.NewBasePlugin(), commonmark.NewCommonmarkPlugin(), table.NewTablePlugin()))
	opts := []converter.ConvertOptionFunc{converter.WithContext(ctx)}
	if at.Host != "" {
		opts = append(opts, converter.WithDomain(at.Scheme+"://"+at.Host))
	}
	text, err := c.ConvertString(src, opts...)
	return strings.TrimSpace(text), err
}

// quotedText is one page of a text, each line marked as quoted so that none can pass for anything else.
func quotedText(from, text string, page, room int, cut bool) string {
	text = strings.ToValidUTF8(text, "�")
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = "> " + strings.TrimRight(bounded(lines[i], room-16), " ")
	}
	var pages [][]string
	size := room
	for _, l := range lines {
		if size += len(l) + 1; size > room {
			pages, size = append(pages, nil), len(l)+1
		}
		pages[len(pages)-1] = append(pages[len(pages)-1], l)
	}
	page = min(max(page, 1), len(pages))
	var b strings.Builder
	fmt.Fprintf(&b, "text of %s, %d characters:\n%s\n", bounded(from, 300), len([]rune(text)), strings.Join(pages[page-1], "\n"))
	if len(pages) > 1 {
		fmt.Fprintf(&b, "-- page %d of %d --\n", page, len(pages))
	}
	if cut {
		b.WriteString("(the page is too large: its end is missing)\n")
	}
	return b.String()
}

// evaluate runs script in the page, with all that the page may do.
func (x *action) evaluate(ctx context.Context) (string, error) {
	if strings.TrimSpace(x.a.Text) == "" {
		return "", refuse(`evaluate needs the script as "text"`)
	}
	c, f, err := x.t.ready(ctx, x.t.main)
	if err != nil {
		return "", err
	}
	began, requested := x.stand()
	var out json.RawMessage
	err = evaluate(ctx, c, f.session, f.main, x.a.Text, &out, false)
	var s *scriptError
	if errors.As(err, &s) {
		return "", refuse("the script failed: %s", quote(s.text))
	}
	if err != nil {
		return "", err
	}
	x.t.settle(ctx, began, requested)
	val := string(out)
	if val == "" {
		val = "undefined"
	}
	return x.after(ctx, "the script's value is "+bounded(val, pageBytes))
}
