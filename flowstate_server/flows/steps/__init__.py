"""The steps of sequencers: each a frozen value that knows its blocks, and how it runs."""
