"""How files come in: every door ends in `deposit`, which answers only when the file is durable."""
