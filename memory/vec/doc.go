// Package vec finds the nearest vectors of a query by scanning all of them: fast, without training and without an index.
//
// Three copies of a vector make a cascade. A 1-bit code (52 bytes at dimension 384) of the rotated, centred vector is
// looked up 32 vectors at a time with byte shuffles and leaves a few hundred candidates; an int8 code with a proven error
// bound leaves a few dozen; float32 decides. The int8 stage alone, over everything, is exact: a vector is dropped only when
// its upper bound lies below the lower bounds of k others.
//
// The inner loops are Go assembly for amd64 (AVX2, FMA) and arm64 (NEON), chosen when the program starts; the plain Go
// loops beside them are their reference and run everywhere else.
package vec
