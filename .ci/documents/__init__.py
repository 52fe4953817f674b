"""What makes the documents besides writing them: the pages of the contract, and the pictures."""
