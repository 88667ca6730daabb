package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"agentd/api"
)

func (a *app) memoryCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "memory",
		Short: "See and change what is remembered between runs",
		Long: "See and change what is remembered between runs.\n\n" +
			"ID is what the lists show, for example m17. What is remembered is the user's, and holds everywhere, or belongs to a folder's " +
			"repository (-C DIR, --here). A run sees both.",
		Args: cobra.NoArgs,
		RunE: needSubcommand,
	}
	c.AddCommand(a.memoryAddCmd(), a.memorySearchCmd(), a.memoryLsCmd(), a.memoryShowCmd(), a.memoryForgetCmd(), a.memoryReviewCmd(), a.memoryWhyCmd(),
		a.memoryStatsCmd(), a.memoryExportCmd(), a.memoryImportCmd(), a.memoryCompactCmd(), a.memoryReembedCmd())
	return c
}

// place are the flags that say whose memory is meant.
type place struct {
	dir  string
	here bool
}

func (p *place) flags(c *cobra.Command, what string) {
	c.Flags().StringVarP(&p.dir, "dir", "C", "", what+" this folder")
	c.Flags().BoolVar(&p.here, "here", false, what+" the current folder")
}

// workspace is the folder that is meant, "" for none.
func (p *place) workspace() (string, error) {
	if p.dir == "" && !p.here {
		return "", nil
	}
	return workspace(p.dir)
}

// maxMemory bounds a text that is read from standard input; the daemon says how long one may be.
const maxMemory = 1 << 20

// words is a text of arguments, or of standard input for "-".
func (a *app) words(args []string) (string, error) {
	if len(args) == 1 && args[0] == "-" {
		data, err := io.ReadAll(io.LimitReader(a.stdin, maxMemory))
		if err != nil {
			return "", fmt.Errorf("read the text: %w", err)
		}
		args = []string{string(data)}
	}
	text := strings.TrimSpace(strings.Join(args, " "))
	switch {
	case text == "":
		return "", invalid("give it in words", "the text is empty")
	case !utf8.ValidString(text):
		return "", invalid("convert it", "the text is not UTF-8")
	}
	return text, nil
}

func (a *app) memoryAddCmd() *cobra.Command {
	var p place
	var add api.MemoryAdd
	var untrusted, asJSON bool
	var expires string
	c := &cobra.Command{
		Use:   "add TEXT",
		Short: "Remember something; - reads it from standard input",
		Example: `agentctl memory add "Reports go to Anna, as PDF"
agentctl memory add --here "The tests need make db first"`,
		Args: between(1, -1),
		RunE: a.do(func(ctx context.Context, args []string) error {
			var err error
			if add.Text, err = a.words(args); err != nil {
				return err
			}
			if add.Workspace, err = p.workspace(); err != nil {
				return err
			}
			if untrusted {
				add.Trust = "untrusted"
			}
			if expires != "" {
				d, err := lifetime(expires)
				if err != nil {
					return err
				}
				add.Expires = time.Now().Add(d)
			}
			c, _, _, err := a.ensure(ctx)
			if err != nil {
				return err
			}
			defer c.Close()
			it, err := c.AddMemory(ctx, add)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(it)
			}
			fmt.Fprintln(a.stdout, it.ID)
			return nil
		}),
	}
	p.flags(c, "it holds for")
	c.Flags().StringArrayVar(&add.Tags, "tag", nil, "a tag to find it by (repeatable)")
	c.Flags().StringVar(&add.Source.URL, "url", "", "address that it comes from")
	c.Flags().StringVar(&add.Source.File, "file", "", "file that it comes from")
	c.Flags().StringArrayVar(&add.Supersedes, "supersedes", nil, "ID that it replaces (repeatable)")
	c.Flags().StringArrayVar(&add.Contradicts, "contradicts", nil, "ID that it contradicts (repeatable)")
	c.Flags().StringVar(&expires, "expires", "", "forget it after so long, for example 30d or 12h")
	c.Flags().BoolVar(&untrusted, "untrusted", false, "nobody vouches for it")
	jsonFlag(c, &asJSON)
	return c
}

// lifetime reads a time with days: 30d, 12h.
func lifetime(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n float64
		n, err = strconv.ParseFloat(days, 64)
		d = time.Duration(n * float64(24*time.Hour))
	}
	if err != nil || d <= 0 {
		return 0, invalid("write for example --expires 30d", "--expires %.40q is no time to come", s)
	}
	return d, nil
}

func (a *app) memorySearchCmd() *cobra.Command {
	var p place
	var q api.MemoryQuery
	var tags, trust []string
	var asJSON bool
	c := &cobra.Command{
		Use:   "search TEXT",
		Short: "Find what is remembered, by words and by meaning",
		Args:  between(1, -1),
		RunE: a.withDaemon(func(ctx context.Context, c *api.Client, args []string) error {
			if q.K < 1 {
				return invalid("give a number from 1", "--limit %d finds nothing", q.K)
			}
			var err error
			if q.Text, err = a.words(args); err != nil {
				return err
			}
			if q.Workspace, err = p.workspace(); err != nil {
				return err
			}
			q.Filter = map[string][]string{}
			if len(tags) > 0 {
				q.Filter["tag"] = tags
			}
			if len(trust) > 0 {
				q.Filter["trust"] = trust
			}
			found, err := c.SearchMemory(ctx, q)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(found)
			}
			for _, h := range found.Hits {
				fmt.Fprintf(a.stdout, "%s  %s  %s\n    %s\n", h.Item.ID, ranks(h.Score, h.WordRank, h.VectorRank, h.Cosine), clean(h.Item.Trust), line(h.Item.Text, width(a.stdout)-4))
			}
			if len(found.Hits) == 0 {
				a.note("nothing found")
			}
			if found.Note != "" {
				a.note("by %s: %s", found.Mode, found.Note)
			}
			return nil
		}),
	}
	p.flags(c, "what a run would see in")
	c.Flags().IntVarP(&q.K, "limit", "k", 10, "most hits")
	c.Flags().Float64Var(&q.MinScore, "min-score", 0, "least cosine similarity, for example 0.25")
	c.Flags().StringArrayVar(&tags, "tag", nil, "only what has this tag (repeatable)")
	c.Flags().StringArrayVar(&trust, "trust", nil, "only what is so trusted: person, model, untrusted (repeatable)")
	c.Flags().BoolVar(&q.WordsOnly, "words", false, "by words alone")
	c.Flags().BoolVar(&q.Exact, "exact", false, "provably the nearest by meaning")
	jsonFlag(c, &asJSON)
	return c
}

// ranks says why something was found.
func ranks(score float64, word, vector int, cosine float64) string {
	var by []string
	if word > 0 {
		by = append(by, fmt.Sprintf("words #%d", word))
	}
	if vector > 0 {
		by = append(by, fmt.Sprintf("meaning #%d (%.2f)", vector, cosine))
	}
	return fmt.Sprintf("%.4f  %s", score, strings.Join(by, ", "))
}

func (a *app) memoryLsCmd() *cobra.Command {
	var p place
	var f api.MemoryFilter
	var asJSON bool
	c := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List what is remembered",
		Args:    exactly(0),
		RunE: a.do(func(ctx context.Context, _ []string) error {
			if f.Limit < 1 || f.Limit > 1000 {
				return invalid("", "--limit %d is not between 1 and 1000", f.Limit)
			}
			var err error
			if f.Workspace, err = p.workspace(); err != nil {
				return err
			}
			c, _, _, err := a.ensure(ctx)
			if err != nil {
				return err
			}
			defer c.Close()
			items, err := c.ListMemory(ctx, f)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(items)
			}
			if err := a.memoryTable(items); err != nil {
				return err
			}
			if len(items) == f.Limit {
				a.note("more: --after %s", items[len(items)-1].ID)
			}
			return nil
		}),
	}
	p.flags(c, "what a run would see in")
	c.Flags().StringVar(&f.State, "state", "", "only accepted, proposed or rejected")
	c.Flags().StringVar(&f.Namespace, "namespace", "", "only of this namespace, as show prints it")
	c.Flags().StringVar(&f.After, "after", "", "continue after this ID")
	c.Flags().IntVarP(&f.Limit, "limit", "n", 100, "most items")
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) memoryTable(items []api.MemoryItem) error {
	if len(items) == 0 {
		a.note("nothing; remember something: agentctl memory add TEXT")
		return nil
	}
	t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tSTATE\tTRUST\tAGE\tWHERE\tTEXT")
	for _, it := range items {
		state := it.State
		if it.SupersededBy != "" {
			state = "superseded"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", it.ID, clean(state), clean(it.Trust), age(time.Since(it.Created)), line(where(it.Namespace), 30), line(it.Text, 70))
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// where is a namespace in short: a repository by the last part of its path.
func where(namespace string) string {
	if path, ok := strings.CutPrefix(namespace, "repository:"); ok {
		return filepath.Base(path)
	}
	return namespace
}

func (a *app) memoryShowCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "show ID",
		Short: "Show one thing remembered: text, source, links",
		Args:  exactly(1),
		RunE: a.withDaemon(func(ctx context.Context, c *api.Client, args []string) error {
			it, err := c.Memory(ctx, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(it)
			}
			a.showMemory(it)
			return nil
		}),
	}
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) showMemory(it api.MemoryItem) {
	field := func(name, text string) {
		if text != "" {
			fmt.Fprintf(a.stdout, "%-12s %s\n", name, clean(text))
		}
	}
	when := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.Local().Format(time.DateTime)
	}
	field("id", it.ID)
	field("state", it.State)
	field("trust", it.Trust)
	field("namespace", it.Namespace)
	source := []string{it.Source.Kind}
	if it.Source.Run != "" {
		source = append(source, "run "+it.Source.Run)
		if it.Source.Step > 0 {
			source = append(source, fmt.Sprintf("step %d", it.Source.Step))
		}
	}
	if n := len(it.Source.Events); n > 0 {
		source = append(source, "events "+strings.Trim(fmt.Sprint(it.Source.Events), "[]"))
	}
	field("source", strings.Trim(strings.Join(append(source, it.Source.File, it.Source.URL), " "), " "))
	field("tags", strings.Join(it.Tags, ", "))
	field("created", when(it.Created))
	field("updated", when(it.Updated))
	field("expires", when(it.Expires))
	field("supersedes", strings.Join(it.Supersedes, ", "))
	field("superseded", it.SupersededBy)
	field("contradicts", strings.Join(it.Contradicts, ", "))
	fmt.Fprintf(a.stdout, "\n%s\n", clean(it.Text))
}

func (a *app) memoryForgetCmd() *cobra.Command {
	var withSource, asJSON bool
	c := &cobra.Command{
		Use:   "forget ID...",
		Short: "Forget something",
		Long: "Forget something: nothing finds it any more. Its bytes leave memory.db with agentctl memory compact. The run that it came from " +
			"still holds it in its journal: --with-source names those runs, and agentctl rm RUN removes one.",
		Args: between(1, -1),
		RunE: a.withDaemon(func(ctx context.Context, c *api.Client, args []string) error {
			var gone struct {
				Forgotten []string `json:"forgotten"`
				Runs      []string `json:"runs,omitempty"`
			}
			var failed error
			for _, id := range args {
				f, err := c.ForgetMemory(ctx, id)
				if err != nil {
					failed = err
					break
				}
				gone.Forgotten = append(gone.Forgotten, id)
				gone.Runs = append(gone.Runs, f.Runs...)
			}
			if asJSON && failed == nil {
				return a.printJSON(gone)
			}
			if len(gone.Forgotten) > 0 {
				a.note("forgot %s; to take the bytes out of memory.db too: agentctl memory compact", strings.Join(gone.Forgotten, ", "))
			}
			if withSource {
				for _, run := range gone.Runs {
					fmt.Fprintln(a.stdout, clean(run))
				}
			}
			if len(gone.Runs) > 0 {
				a.note("the journals of %s still hold it; remove one: agentctl rm RUN", plural(len(gone.Runs), "run"))
			}
			return failed
		}),
	}
	c.Flags().BoolVar(&withSource, "with-source", false, "print the runs whose journals still hold it")
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) memoryStatsCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "stats",
		Short: "Count what is remembered",
		Args:  exactly(0),
		RunE: a.withDaemon(func(ctx context.Context, c *api.Client, _ []string) error {
			s, err := c.MemoryStats(ctx)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(s)
			}
			return a.memoryStats(s)
		}),
	}
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) memoryStats(s api.MemoryStats) error {
	embedder := "none: found by words alone; agentctl model pull minilm"
	if s.Embedder != "" {
		embedder = s.Embedder
	}
	vectors := "none"
	if s.Vectors > 0 {
		vectors = fmt.Sprintf("%d of %d dimensions, by %s", s.Vectors, s.Dim, s.Model)
	}
	for _, f := range [][2]string{
		{"file", fmt.Sprintf("%s, %s", s.Path, size(s.FileBytes))},
		{"items", strconv.Itoa(s.Items)},
		{"proposed", fmt.Sprintf("%d (agentctl memory review)", s.Proposed)},
		{"rows", fmt.Sprintf("%d, %d of them hidden, %d not sealed, %s", s.Rows, s.Hidden, s.Tail, plural(s.Segments, "segment"))},
		{"vectors", vectors},
		{"embedder", embedder},
	} {
		if _, err := fmt.Fprintf(a.stdout, "%-10s %s\n", f[0], clean(f[1])); err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
	return nil
}

func (a *app) memoryExportCmd() *cobra.Command {
	var vectors bool
	c := &cobra.Command{
		Use:   "export FILE",
		Short: "Write all that is remembered, one JSON object a line; - is standard output",
		Args:  exactly(1),
		RunE: a.withDaemon(func(ctx context.Context, c *api.Client, args []string) error {
			copy := func(w io.Writer) (int64, error) { return c.ExportMemory(ctx, w, vectors) }
			if args[0] == "-" {
				_, err := copy(a.stdout)
				return err
			}
			n, err := replace(args[0], copy)
			if err != nil {
				return fmt.Errorf("export to %s: %w", args[0], err)
			}
			a.note("%s written to %s", size(n), args[0])
			return nil
		}),
	}
	c.Flags().BoolVar(&vectors, "vectors", false, "with their vectors")
	return c
}

func (a *app) memoryImportCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "import FILE",
		Short: "Add what export wrote; - is standard input",
		Args:  exactly(1),
		RunE: a.do(func(ctx context.Context, args []string) error {
			in := a.stdin
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return invalid("", "import: %v", err)
				}
				defer f.Close()
				in = f
			}
			c, _, _, err := a.ensure(ctx)
			if err != nil {
				return err
			}
			defer c.Close()
			n, err := c.ImportMemory(ctx, in)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(api.MemoryImported{Added: n})
			}
			a.note("%s added", plural(n, "item"))
			return nil
		}),
	}
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) memoryCompactCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "compact",
		Short: "Write memory.db anew, without the bytes of what was forgotten",
		Args:  exactly(0),
		RunE: a.withDaemon(func(ctx context.Context, c *api.Client, _ []string) error {
			s, err := c.CompactMemory(ctx)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(s)
			}
			a.note("%s holds %s in %s", s.Path, plural(s.Items, "item"), size(s.FileBytes))
			return nil
		}),
	}
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) memoryReembedCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "reembed",
		Short: "Make all vectors anew with this machine's embedder; goes on where it was cut off",
		Args:  exactly(0),
		RunE: a.withDaemon(func(ctx context.Context, c *api.Client, _ []string) error {
			err := c.ReembedMemory(ctx, func(done, of int) {
				if !asJSON {
					a.note("%d of %s", done, plural(of, "segment"))
				}
			})
			if errors.Is(err, context.Canceled) {
				a.note("what was made is kept; the same command goes on")
			}
			if err != nil {
				return err
			}
			s, err := c.MemoryStats(ctx)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(s)
			}
			a.note("%d vectors, by %s", s.Vectors, s.Model)
			return nil
		}),
	}
	jsonFlag(c, &asJSON)
	return c
}
