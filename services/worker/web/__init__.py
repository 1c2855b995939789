"""How tools reach what is outside: one HTTP client with one policy. What they ask there is theirs."""
