package web_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"agentd/sandbox"
	"agentd/tools"
	"agentd/tools/web"
)

// document is a PDF of one line.
const document = `%PDF-1.4
1 0 obj <</Type /Catalog /Pages 2 0 R>> endobj
2 0 obj <</Type /Pages /Kids [3 0 R] /Count 1>> endobj
3 0 obj <</Type /Page /Parent 2 0 R /MediaBox [0 0 300 100] /Contents 4 0 R /Resources <</Font <</F1 5 0 R>>>>>> endobj
4 0 obj <</Length 48>> stream
BT /F1 12 Tf 20 50 Td (Invoice total: 42) Tj ET
endstream endobj
5 0 obj <</Type /Font /Subtype /Type1 /BaseFont /Helvetica>> endobj
trailer <</Root 1 0 R>>
%%EOF
`

// runner is a box for pdftotext.
type runner func(p sandbox.Policy, c sandbox.Command) (sandbox.Result, error)

func (r runner) Run(_ context.Context, p sandbox.Policy, c sandbox.Command) (sandbox.Result, error) {
	return r(p, c)
}

// fetchPDF asks for the document and returns what the model is shown.
func fetchPDF(t *testing.T, box tools.Runner) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/pdf")
		io.WriteString(w, document)
	}))
	defer s.Close()
	var looked []string
	tool := web.NewHTTP(proxies(&looked))
	a, err := tool.Decode([]byte(fmt.Sprintf(`{"url":%q}`, s.URL)))
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(strings.TrimPrefix(s.URL, "http://"), ":")
	res, err := tool.Run(t.Context(), tools.Env{Box: box, Policy: sandbox.Policy{
		Workspace: "/ws", Env: map[string]string{"KEY": "x"}, Net: sandbox.Net{Allow: []string{"127.0.0.1/32:" + port}},
	}}, a)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Output.Close()
	return res.Output.Head() + res.Output.Tail()
}

func TestPDF(t *testing.T) {
	for _, c := range []struct {
		name, out, want string
		res             sandbox.Result
		err             error
	}{
		{name: "text", out: "Invoice total: 42\n\f", want: "> Invoice total: 42"},
		{name: "no reader", res: sandbox.Result{Exit: 127}, want: "poppler-utils"},
		{name: "not readable", res: sandbox.Result{Exit: 1}, want: "can't read it (exit 1)"},
		{name: "killed", res: sandbox.Result{Exit: -1, Killed: sandbox.KilledMemory}, want: "was ended: memory"},
		{name: "no text", out: " \f", want: "holds no text"},
		{name: "no box", err: io.ErrUnexpectedEOF, want: "read the PDF: unexpected EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := fetchPDF(t, runner(func(p sandbox.Policy, cmd sandbox.Command) (sandbox.Result, error) {
				if !p.ReadOnlyWS || p.Env != nil || len(p.Net.Allow) > 0 || p.Limits.Wall <= 0 {
					t.Errorf("the reader's box has the policy %+v", p)
				}
				if in, err := io.ReadAll(cmd.Stdin); err != nil || string(in) != document {
					t.Errorf("the reader got %d bytes (%v)", len(in), err)
				}
				fmt.Fprint(cmd.Stdout, c.out)
				return c.res, c.err
			}))
			if !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
