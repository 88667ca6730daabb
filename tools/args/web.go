package args

// HTTP makes one HTTP request.
type HTTP struct {
	Method  string `json:"method,omitempty" expr:"method" enum:"GET,HEAD,POST,PUT,PATCH,DELETE,OPTIONS"`
	URL     string `json:"url" expr:"url"`
	Headers string `json:"headers,omitempty" expr:"headers" desc:"one Name: value a line"`
	Body    string `json:"body,omitempty" expr:"body"`
	Query   string `json:"query,omitempty" expr:"query" desc:"jq filter for a JSON answer"`
	Page    int    `json:"page,omitempty" expr:"page" desc:"of a long text"`
	Raw     bool   `json:"raw,omitempty" expr:"raw" desc:"as it came, not as readable text"`
}

// Tool names the tool.
func (HTTP) Tool() string { return "http" }
