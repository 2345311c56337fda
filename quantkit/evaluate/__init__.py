"""What systems say about utterances: computed once, kept, in parallel, resumable."""
