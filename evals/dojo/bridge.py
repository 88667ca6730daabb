# An MCP server on standard input and output that is another process behind the socket that lies in the workspace.
import socket, sys, threading

s = socket.socket(socket.AF_UNIX)
s.connect("/workspace/.server")
i, o = s.makefile("rb"), s.makefile("wb")


def back():
    for line in i:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()


threading.Thread(target=back, daemon=True).start()
for line in sys.stdin.buffer:
    o.write(line)
    o.flush()
