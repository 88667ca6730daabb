def total(rows):
    return sum(r["n"] for r in rows)
