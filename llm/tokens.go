package llm

// CountTokens estimates how many tokens a text is, without a vocabulary. It is meant as a bound: on prose, code, JSON, base64 and
// East Asian text it is never below the count of o200k or cl100k, and on prose and code it stays within half as much again. A call
// is reserved by it before it is made, and charged by what the provider counts.
//
// Tokenizers first cut text into words, numbers of up to three digits, runs of punctuation and runs of space, and no token
// crosses a cut. The estimate walks the same pieces and charges each by its kind and length, in quarters of a token.
func CountTokens(text string) int {
	quarters := 0
	for i := 0; i < len(text); {
		var cost int
		switch class[text[i]] {
		case lower, upper, digit:
			i, cost = alnum(text, i)
		case space:
			i, cost = blank(text, i)
		case punct:
			i, cost = marks(text, i)
		default:
			i, cost = wide(text, i)
		}
		quarters += cost
	}
	quarters += quarters / 32 // a margin for text full of abbreviations
	return (quarters + 3) / 4
}

// kinds of byte.
const (
	punct uint8 = iota
	lower
	upper
	digit
	space
	control
	high // part of a character beyond ASCII
)

var class = func() (c [256]uint8) {
	for b := range c {
		switch {
		case b >= 'a' && b <= 'z':
			c[b] = lower
		case b >= 'A' && b <= 'Z':
			c[b] = upper
		case b >= '0' && b <= '9':
			c[b] = digit
		case b == ' ' || b == '\n' || b == '\t' || b == '\r':
			c[b] = space
		case b < ' ' || b == 0x7f:
			c[b] = control
		case b >= 0x80:
			c[b] = high
		}
	}
	return c
}()

// alnum charges a run of letters and digits: piece by piece, or, where its kinds alternate as in base64 and hashes, by length.
func alnum(s string, i int) (next, cost int) {
	start, pieces := i, 0
	for i < len(s) {
		from := i
		switch class[s[i]] {
		case digit:
			for i < len(s) && class[s[i]] == digit {
				i++
			}
			cost += 4 * ((i - from + 2) / 3)
		case lower, upper:
			for i < len(s) && class[s[i]] == upper {
				i++
			}
			caps := i - from
			for i < len(s) && class[s[i]] == lower {
				i++
			}
			cost += word(caps, i-from-caps)
		default:
			return i, max(cost, noise(i-start, pieces))
		}
		pieces++
	}
	return i, max(cost, noise(i-start, pieces))
}

func noise(n, pieces int) int {
	if n >= 6 && pieces*5 >= n && pieces > 2 {
		return 3*n + 1
	}
	return 0
}

// word charges capitals with the small letters behind them.
func word(caps, small int) int {
	switch {
	case caps <= 1:
		return letters(caps + small)
	case small == 0 && caps <= 3:
		return 4
	case small == 0:
		return 4 + (caps-3)*3/2
	}
	return 4 + 2*(caps-1) + letters(small) - 2
}

// letters charges a plain word: one token up to five letters, then more for each further one.
func letters(n int) int {
	switch {
	case n <= 5:
		return 4
	case n <= 16:
		return 4 + ((n-5)*3+3)/4
	}
	return 13 + (n-16)*5/2
}

// blank charges space: a single one belongs to the word behind it, a line's end and its indentation are tokens of their own.
func blank(s string, i int) (next, cost int) {
	start, line := i, -1
	for i < len(s) && class[s[i]] == space {
		if s[i] == '\n' || s[i] == '\r' {
			line = i
		}
		i++
	}
	if line >= 0 {
		cost = 4 + (line-start)/4
		start = line + 1
	}
	n := i - start // of the indentation, or of the gap
	if n == 0 {
		return i, cost
	}
	if n > 1 {
		cost += 4 + n/12
	}
	if i < len(s) {
		if k := class[s[i]]; k == digit || k == punct && s[i-1] != ' ' {
			cost += 4 // what follows can't take the last one in
		}
	}
	return i, cost
}

// marks charges punctuation: pairs are common as tokens, long runs of one mark too.
func marks(s string, i int) (next, cost int) {
	for i < len(s) && class[s[i]] == punct {
		start, b := i, s[i]
		for i < len(s) && s[i] == b {
			i++
		}
		if n := i - start; n >= 4 {
			cost += 6 + n/8
		} else {
			cost += 5 * n / 2
			if n == 1 {
				cost++
			}
		}
	}
	return i, max(4, cost)
}

// wide charges characters beyond ASCII by their script, and control characters one token each.
func wide(s string, i int) (next, cost int) {
	for ; i < len(s); i++ {
		b := s[i]
		switch {
		case class[b] == control:
			cost += 4
		case b < 0x80:
			return i, cost
		case b < 0xc0: // the rest of a character
		case b < 0xc8: // Latin: it also breaks a word
			cost += 6
		case b < 0xd0: // Greek and others
			cost += 5
		case b < 0xd4: // Cyrillic
			cost += 3
		case b < 0xd8: // Armenian, Hebrew
			cost += 5
		case b < 0xe0: // Arabic and others
			cost += 4
		case b == 0xe3 && i+1 < len(s) && s[i+1] >= 0x90, b == 0xe4 && i+1 < len(s) && s[i+1] < 0xb8: // rare ideographs
			cost += 12
		case b < 0xef:
			cost += 6
		case b == 0xef:
			cost += 8
		default: // emoji and the rest
			cost += 14
		}
	}
	return i, cost
}
