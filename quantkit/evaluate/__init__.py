"""Systems on utterances: computed once, in parallel; parity, words, intervals, gates."""
