# TODO: handle an empty list
def first(xs):
    return xs[0]
