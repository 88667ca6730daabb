package workspace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"agentd/sandbox"
)

// Runner runs one command in a box. *sandbox.Box is one.
type Runner interface {
	Run(ctx context.Context, p sandbox.Policy, c sandbox.Command) (sandbox.Result, error)
}

// ErrNoRepository is wrapped by the error for a folder that is not the top of a git repository.
var ErrNoRepository = errors.New("not the top folder of a git repository")

// IsRepository reports why dir is not the top of a git repository, nil when it is.
func IsRepository(dir string) error {
	info, err := os.Lstat(filepath.Join(dir, ".git"))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%s is %w: use the mode copy, or git init", dir, ErrNoRepository)
	case err != nil:
		return fmt.Errorf("look at %s: %w", dir, err)
	case !info.IsDir():
		return fmt.Errorf("%s is %w of its own (.git is no folder): use the mode copy, or the main checkout", dir, ErrNoRepository)
	}
	return nil
}

// gitScript begins every script of git's: no hook, no helper and no configuration of a person's takes part.
const gitScript = `set -eu
TMPDIR=${TMPDIR:-/tmp}
printf '[safe]\n\tdirectory = *\n' > "$TMPDIR/gitconfig" # on the command line it does not reach the other end of a clone
export GIT_CONFIG_GLOBAL="$TMPDIR/gitconfig" GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 GIT_AUTHOR_NAME=agentd GIT_AUTHOR_EMAIL=agentd@localhost GIT_COMMITTER_NAME=agentd GIT_COMMITTER_EMAIL=agentd@localhost
g() { git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c gc.auto=0 -c maintenance.auto=false -c protocol.file.allow=always "$@"; }
`

// Checkout clones the repository at repo to dst, which must not exist, on a new branch at its last commit. Git runs in a box, because a
// repository's configuration can name programs; what is not committed stays behind.
func Checkout(ctx context.Context, box Runner, repo, dst, branch string, require sandbox.Level) error {
	if err := IsRepository(repo); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp(filepath.Dir(dst), ".git-")
	if err != nil {
		return fmt.Errorf("check out %s: %w", repo, err)
	}
	defer os.RemoveAll(scratch)
	out := filepath.Join(scratch, "out")
	empty := filepath.Join(scratch, "empty")
	for _, dir := range []string{out, empty} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return fmt.Errorf("check out %s: %w", repo, err)
		}
	}
	err = runGit(ctx, box, sandbox.Policy{
		Workspace: empty, ReadOnly: []string{repo}, Caches: map[string]string{out: "/cache/out"}, Require: require,
	}, `g clone --quiet --no-hardlinks --no-recurse-submodules "$1" /cache/out/tree
g -C /cache/out/tree checkout --quiet -b "$2"
`, repo, branch)
	if err == nil {
		err = os.Rename(filepath.Join(out, "tree"), dst)
	}
	if err != nil {
		return fmt.Errorf("check out %s: %w", repo, err)
	}
	return nil
}

// Publish commits what the checkout at tree holds and gives its branch to the repository at repo, whose files and own branches are left
// alone. It reports whether there was anything to give.
func Publish(ctx context.Context, box Runner, tree, repo, branch, message string, require sandbox.Level) (bool, error) {
	err := runGit(ctx, box, sandbox.Policy{Workspace: tree, Require: require}, `g add --all
g diff --cached --quiet || g commit --quiet --no-verify --no-gpg-sign -m "$1"
`, message)
	if err != nil {
		return false, fmt.Errorf("commit in %s: %w", tree, err)
	}
	err = runGit(ctx, box, sandbox.Policy{Workspace: repo, ReadOnly: []string{tree}, Require: require}, `new=$(g -C "$1" rev-parse HEAD)
old=$(g rev-parse --verify --quiet "refs/heads/$2" || true)
if [ "$new" = "$old" ]; then exit 0; fi
if [ -z "$old" ] && g cat-file -e "$new^{commit}" 2>/dev/null; then echo nothing; exit 0; fi
g fetch --quiet --no-tags --no-write-fetch-head "$1" "HEAD:refs/heads/$2"
`, tree, branch)
	var nothing *saidNothing
	if errors.As(err, &nothing) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("give the branch %s to %s: %w", branch, repo, err)
	}
	return true, nil
}

// saidNothing says that a script had nothing to do.
type saidNothing struct{}

func (*saidNothing) Error() string { return "nothing to give" }

func runGit(ctx context.Context, box Runner, p sandbox.Policy, script string, args ...string) error {
	var out bytes.Buffer
	p.Limits.Wall = 10 * time.Minute
	res, err := box.Run(ctx, p, sandbox.Command{Argv: append([]string{"bash", "-c", gitScript + script, "git"}, args...), Stdout: &out})
	if err != nil {
		return err
	}
	said := strings.TrimSpace(out.String())
	switch {
	case res.Killed != "":
		return fmt.Errorf("git was ended by a limit: %s", res.Detail)
	case res.Exit != 0:
		return fmt.Errorf("git ends with %d: %.500s", res.Exit, said)
	case said == "nothing":
		return &saidNothing{}
	}
	return nil
}
