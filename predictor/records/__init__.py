"""Records in and answers out: bodies to rows, outputs to answers, and what is wrong with either."""
