"""Update rules: what one token, or one chunk of tokens, does to the state of one head."""
