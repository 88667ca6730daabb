echo 1
# FIXME: this loses the 2nd argument
echo "$1"
