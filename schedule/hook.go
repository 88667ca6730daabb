package schedule

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxHook bounds a webhook's body in bytes.
const maxHook = 64 << 10

// skew is how far a signed time may be from this machine's.
const skew = 5 * time.Minute

// Errors of a delivery.
var (
	errUnsigned = errors.New("the signature is missing or wrong")
	errStale    = errors.New("the signed time is too far from now")
)

// ServeHTTP takes deliveries: POST /hooks/NAME, signed with HMAC-SHA256 in one of two forms. In the form of Standard Webhooks the headers webhook-id,
// webhook-timestamp and webhook-signature sign id, time and body. In GitHub's form X-Hub-Signature-256 signs the body alone, so that the same
// body counts once. A delivery that was accepted is durable; the same one again is answered alike and starts nothing.
func (s *Scheduler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutPrefix(r.URL.Path, "/hooks/")
	if !ok || r.Method != http.MethodPost {
		http.Error(w, "POST /hooks/NAME", http.StatusNotFound)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxHook))
	if err != nil {
		http.Error(w, fmt.Sprintf("the body can't be read, or is larger than %d bytes", maxHook), http.StatusRequestEntityTooLarge)
		return
	}
	started, paused := 0, false
	for _, j := range s.Jobs() {
		for i, t := range j.Goal.Triggers {
			if t.Webhook != name || name == "" {
				continue
			}
			if j.Paused {
				paused = true
				continue
			}
			id, err := s.verify(r.Header, body, t.Secret)
			if err != nil {
				s.opt.Log.Warn("webhook refused", "name", name, "job", j.Name, "err", err)
				continue
			}
			if err := s.deliver(j.Name, i, id, body); err != nil {
				s.opt.Log.Error("webhook", "name", name, "job", j.Name, "err", err)
				http.Error(w, "it could not be stored", http.StatusInternalServerError)
				return
			}
			started++
		}
	}
	if started == 0 && paused {
		http.Error(w, "it is paused", http.StatusServiceUnavailable)
		return
	}
	if started == 0 { // a name that isn't there is answered as a wrong signature is
		http.Error(w, errUnsigned.Error(), http.StatusUnauthorized)
		return
	}
	s.poke()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	json.NewEncoder(w).Encode(map[string]int{"accepted": started})
}

// verify returns the delivery's id where the signature holds.
func (s *Scheduler) verify(h http.Header, body []byte, secret string) (string, error) {
	if s.opt.Secret == nil || secret == "" {
		return "", errors.New("the trigger has no secret")
	}
	key, err := s.opt.Secret(secret)
	if err != nil {
		return "", err
	}
	if len(key) < 16 {
		return "", errors.New("the secret is shorter than 16 bytes")
	}
	sum := func(parts ...string) []byte {
		m := hmac.New(sha256.New, key)
		for _, p := range parts {
			m.Write([]byte(p))
		}
		return m.Sum(nil)
	}
	if id, at := h.Get("webhook-id"), h.Get("webhook-timestamp"); id != "" && at != "" && len(id) <= 200 {
		unix, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			return "", errStale
		}
		want := sum(id, ".", at, ".", string(body))
		for word := range strings.FieldsSeq(h.Get("webhook-signature")) {
			got, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(word, "v1,"))
			if err != nil || !hmac.Equal(got, want) {
				continue
			}
			if d := s.opt.Now().Sub(time.Unix(unix, 0)); d > skew || d < -skew {
				return "", errStale
			}
			return "id:" + id, nil
		}
		return "", errUnsigned
	}
	got, err := hex.DecodeString(strings.TrimPrefix(h.Get("X-Hub-Signature-256"), "sha256="))
	if want := sum(string(body)); err == nil && hmac.Equal(got, want) {
		return "body:" + hex.EncodeToString(want), nil
	}
	return "", errUnsigned
}

// deliver makes a delivery durable.
func (s *Scheduler) deliver(name string, i int, id string, body []byte) error {
	text := string(body)
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	return s.change(name, func(j *Job) bool {
		if i >= len(j.Marks) || j.Paused || slices.Contains(j.Marks[i].Seen, id) {
			return false
		}
		m := &j.Marks[i]
		if m.Seen = append(m.Seen, id); len(m.Seen) > maxSeen {
			m.Seen = m.Seen[len(m.Seen)-maxSeen:]
		}
		sum := sha256.Sum256([]byte(id))
		j.add(Slot{
			Key: fmt.Sprintf("schedule/%s/%d/hook/%x", j.ID, i, sum[:12]), Trigger: i, At: s.opt.Now(), Overlap: j.Goal.Triggers[i].Overlap, Body: text,
		})
		return true
	})
}
