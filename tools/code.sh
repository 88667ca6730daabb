# Runs the program on descriptor 3 in the language $1. The program's own folder goes when it ends.
d=$(mktemp -d "${TMPDIR:-/tmp}/code.XXXXXX") || exit 125
trap 'rm -rf "$d"' EXIT
case $1 in
python) prog=python3 file=main.py ;;
node) prog=node file=main.js ;;
bash) prog=bash file=main.sh ;;
go) prog=go file=main.go ;;
*) echo "unknown language $1" >&2; exit 125 ;;
esac
cat <&3 >"$d/$file" || exit 125
exec 3<&-
if ! command -v "$prog" >/dev/null; then
	echo "$prog is not installed here: use another language" >&2
	exit 127
fi
case $1 in
python)
	# modules of the workspace are found, and no __pycache__ is left in it
	export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
	python3 "$d/$file"
	;;
node)
	# require and import look beside the program: let them see the workspace there
	for f in "$PWD"/* "$PWD"/.[!.]*; do
		[ -e "$f" ] && [ "${f##*/}" != "$file" ] && ln -s -- "$f" "$d/"
	done
	node "$d/$file"
	;;
bash) bash "$d/$file" ;;
go) GOTOOLCHAIN=local GOFLAGS="-buildvcs=false${GOFLAGS:+ $GOFLAGS}" go run "$d/$file" ;;
esac
