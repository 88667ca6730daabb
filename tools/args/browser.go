package args

// Browser does one thing in the browser of a run.
type Browser struct {
	Action  string `json:"action" expr:"action" enum:"open,back,forward,reload,outline,find,click,dblclick,hover,type,press,select,check,uncheck,upload,drag,scroll,wait,tabs,switch,close,dialog,screenshot,extract,evaluate,takeover"`
	URL     string `json:"url,omitempty" expr:"url" desc:"open: address; wait: part of one"`
	Ref     string `json:"ref,omitempty" expr:"ref" desc:"element, e.g. e12"`
	Text    string `json:"text,omitempty" expr:"text" desc:"type: text; press: key; select: option; find, wait: text; upload: path; scroll: up, down, top, bottom; dialog: accept, dismiss or the answer; evaluate: script; takeover: why a person is needed"`
	To      string `json:"to,omitempty" expr:"to" desc:"drag: target ref; switch, close: tab; open: new for a new tab; screenshot: path"`
	Page    int    `json:"page,omitempty" expr:"page" desc:"of a long outline or text"`
	Timeout int    `json:"timeout,omitempty" expr:"timeout" desc:"seconds, default 20"`
}

// Tool names the tool.
func (Browser) Tool() string { return "browser" }
