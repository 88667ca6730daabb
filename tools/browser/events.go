package browser

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/inspector"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// What ends an action early.
var (
	errDialog  = errors.New("a dialog is open")
	errCrashed = errors.New("the page crashed")
	errGone    = errors.New("the tab was closed")
)

// listened are the events that matter; all others are thrown away before they are decoded.
var listened = map[cdproto.MethodType]bool{
	"Target.attachedToTarget": true, "Target.detachedFromTarget": true, "Target.targetInfoChanged": true, "Target.targetDestroyed": true, "Target.targetCrashed": true,
	"Runtime.executionContextCreated": true, "Runtime.executionContextDestroyed": true, "Runtime.executionContextsCleared": true,
	"Page.frameStartedNavigating": true, "Page.frameStartedLoading": true, "Page.frameStoppedLoading": true, "Page.frameNavigated": true, "Page.navigatedWithinDocument": true,
	"Page.domContentEventFired": true, "Page.loadEventFired": true, "Page.frameDetached": true,
	"Input.dragIntercepted": true, "Page.screencastFrame": true, "Page.javascriptDialogOpening": true, "Page.javascriptDialogClosed": true, "Inspector.targetCrashed": true,
	"Network.requestWillBeSent": true, "Network.responseReceived": true, "Network.loadingFinished": true, "Network.loadingFailed": true,
	"Browser.downloadWillBegin": true, "Browser.downloadProgress": true,
}

// event records what an event says. It is called by the reader of the connection.
func (b *Browser) event(msg *cdproto.Message) {
	if !listened[msg.Method] {
		return
	}
	ev, err := cdproto.UnmarshalMessage(msg, chromedp.DefaultUnmarshalOptions)
	if err != nil {
		return // of another version of the protocol
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn == nil {
		return
	}
	switch ev := ev.(type) {
	case *target.EventAttachedToTarget:
		b.attached(msg.SessionID, ev)
	case *target.EventDetachedFromTarget:
		b.sessionGone(ev.SessionID)
	case *target.EventTargetInfoChanged:
		if t := b.targets[ev.TargetInfo.TargetID]; t != nil {
			t.title, t.url = bounded(ev.TargetInfo.Title, 300), bounded(ev.TargetInfo.URL, 4096)
		}
	case *target.EventTargetDestroyed:
		if t := b.targets[ev.TargetID]; t != nil {
			b.closed(t)
		}
	case *target.EventTargetCrashed:
		if t := b.targets[ev.TargetID]; t != nil {
			t.crash(b)
		}
	case *browser.EventDownloadWillBegin:
		b.downloadBegins(ev)
	case *browser.EventDownloadProgress:
		if d := b.files[ev.GUID]; d != nil {
			d.progress(ev)
		}
	default:
		if t := b.sessions[msg.SessionID]; t != nil {
			t.event(b, msg.SessionID, ev)
		}
	}
	b.notify()
}

// attached sets up a new session, in which nothing runs until it is told to.
func (b *Browser) attached(parent target.SessionID, ev *target.EventAttachedToTarget) {
	c, s, info := b.conn, ev.SessionID, ev.TargetInfo
	var t *tab
	switch {
	case info.Type == "page" && parent == "":
		t = b.targets[info.TargetID]
		if t == nil {
			t = newTab(b, info.TargetID)
			b.front = nil // a new tab is in front
			t.opener = info.OpenerID
			b.targets[info.TargetID] = t
			if opener := b.targets[info.OpenerID]; opener != nil && opener.task != nil {
				opener.task.add(t)
				t.popup = true
				opener.task.say("the page opened a new tab, %s; it is not switched to", t.id)
			}
		}
		t.session, t.url = s, bounded(info.URL, 4096)
	case info.Type == "iframe":
		t = b.sessions[parent]
	}
	if t == nil { // a worker, or a tab that is gone
		post(c, s, runtime.RunIfWaitingForDebugger, cdp.Empty{})
		post(c, "", target.DetachFromTarget, target.DetachFromTargetParams{SessionID: s})
		return
	}
	b.sessions[s] = t
	yes, buffer := true, int64(1<<20)
	post(c, s, page.Enable, page.EnableParams{})
	post(c, s, inspector.Enable, cdp.Empty{})
	post(c, s, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script, WorldName: world, RunImmediately: &yes})
	post(c, s, runtime.Enable, cdp.Empty{})
	post(c, s, network.Enable, network.EnableParams{MaxTotalBufferSize: &buffer, MaxResourceBufferSize: &buffer})
	post(c, s, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	post(c, s, target.SetAutoAttach, target.SetAutoAttachParams{AutoAttach: true, WaitForDebuggerOnStart: true, Flatten: &yes, Filter: target.Filter{{Type: "iframe"}}})
	post(c, s, runtime.RunIfWaitingForDebugger, cdp.Empty{})
}

func (b *Browser) sessionGone(s target.SessionID) {
	t := b.sessions[s]
	delete(b.sessions, s)
	if t == nil {
		return
	}
	for id, f := range t.frames {
		if f.session == s {
			f.world, f.main, f.session = "", "", ""
			if id != t.main {
				delete(t.frames, id)
			}
		}
	}
	if t.session == s {
		b.closed(t)
	}
}

// closed forgets a tab.
func (b *Browser) closed(t *tab) {
	if t.gone {
		return
	}
	t.gone = true
	delete(b.targets, t.target)
	t.stop(errGone)
	if t.task != nil {
		t.task.remove(t)
	}
}

// event records what happened in a tab.
func (t *tab) event(b *Browser, s target.SessionID, ev any) {
	switch ev := ev.(type) {
	case *runtime.EventExecutionContextCreated:
		var aux struct {
			FrameID   cdp.FrameID `json:"frameId"`
			IsDefault bool        `json:"isDefault"`
		}
		if json.Unmarshal(ev.Context.AuxData, &aux) != nil || aux.FrameID == "" {
			return
		}
		f := t.frame(aux.FrameID)
		f.session = s
		if aux.IsDefault {
			f.main = ev.Context.UniqueID
		} else if ev.Context.Name == world {
			f.world, f.worldID = ev.Context.UniqueID, ev.Context.ID
			f.documents++
		}
	case *runtime.EventExecutionContextDestroyed:
		for _, f := range t.frames {
			if f.world == ev.ExecutionContextUniqueID {
				f.world = ""
			} else if f.main == ev.ExecutionContextUniqueID {
				f.main = ""
			}
		}
	case *runtime.EventExecutionContextsCleared:
		for _, f := range t.frames {
			if f.session == s {
				f.world, f.main = "", ""
			}
		}
	case *page.EventFrameDetached:
		if ev.Reason != page.FrameDetachedReasonSwap && ev.FrameID != t.main {
			delete(t.frames, ev.FrameID)
		}
	case *page.EventFrameStartedNavigating:
		if ev.FrameID == t.main {
			t.began++
		}
	case *page.EventFrameStartedLoading:
		if ev.FrameID == t.main {
			t.began++
			t.loading = true
		}
	case *page.EventFrameStoppedLoading:
		if ev.FrameID == t.main {
			t.loading = false
		}
	case *page.EventFrameNavigated:
		if ev.Frame.ID == t.main {
			t.url = bounded(ev.Frame.URL+ev.Frame.URLFragment, 4096)
			t.navigated++
			t.mime = bounded(ev.Frame.MimeType, 100)
			t.unreachable = ev.Frame.UnreachableURL != ""
			t.crashed, t.content, t.loaded = false, false, false
			clear(t.requests)
			if ev.Type == page.NavigationTypeBackForwardCacheRestore {
				t.content, t.loaded, t.loading = true, true, false
			}
		}
	case *page.EventNavigatedWithinDocument:
		if ev.FrameID == t.main {
			t.url = bounded(ev.URL, 4096)
		}
	case *page.EventDomContentEventFired:
		t.content = t.content || s == t.session
	case *page.EventLoadEventFired:
		if s == t.session {
			t.content, t.loaded, t.loading = true, true, false
		}
	case *input.EventDragIntercepted:
		t.dragged = ev.Data
	case *page.EventScreencastFrame:
		t.shoot(ev)
	case *page.EventJavascriptDialogOpening:
		t.dialogOpens(b, s, ev)
	case *page.EventJavascriptDialogClosed:
		t.dialog = nil
	case *inspector.EventTargetCrashed:
		if s == t.session {
			t.crash(b)
		}
	case *network.EventRequestWillBeSent:
		if len(t.requests) < 10000 && !strings.HasPrefix(ev.Request.URL, "data:") {
			t.requests[ev.RequestID] = true
		}
		t.requested++
		t.traffic = now()
	case *network.EventResponseReceived:
		if ev.Type == network.ResourceTypeDocument && ev.FrameID == t.main && ev.Response != nil {
			t.status = int(ev.Response.Status)
			t.auth = ""
			for k, v := range ev.Response.Headers {
				if strings.EqualFold(k, "www-authenticate") {
					t.auth = bounded(fmt.Sprint(v), 200)
				}
			}
		}
		if ev.Type == network.ResourceTypeEventSource || ev.Type == network.ResourceTypeWebSocket {
			delete(t.requests, ev.RequestID) // it stays open
		}
		t.traffic = now()
	case *network.EventLoadingFinished:
		delete(t.requests, ev.RequestID)
		t.traffic = now()
	case *network.EventLoadingFailed:
		delete(t.requests, ev.RequestID)
		t.traffic = now()
	}
}

// dialogOpens answers a dialog that has but one sensible answer and keeps the others for the model.
func (t *tab) dialogOpens(b *Browser, s target.SessionID, ev *page.EventJavascriptDialogOpening) {
	text := quote(bounded(ev.Message, 500))
	switch ev.Type {
	case page.DialogTypeAlert:
		post(b.conn, s, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true})
		t.say("the page showed the alert %s; it was closed", text)
	case page.DialogTypeBeforeunload:
		post(b.conn, s, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true})
		t.say("the page asked whether to leave it; it was left, and what was not saved there is lost")
	default:
		t.dialog = &dialog{kind: string(ev.Type), message: text, preset: bounded(ev.DefaultPrompt, 500), session: s}
		t.stop(errDialog)
	}
}

// crash notes that a tab's process died, and ends what waits for it.
func (t *tab) crash(b *Browser) {
	if t.crashed {
		return
	}
	t.crashed = true
	t.dialog = nil
	t.stop(errCrashed)
	b.conn.abort(t.session, errCrashed.Error())
}

func bounded(s string, n int) string {
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "") + "…"
	}
	return strings.ToValidUTF8(s, "�")
}
