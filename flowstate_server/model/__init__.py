"""Frozen values that every layer speaks of: ids, keys, records, items, events. No I/O, no behaviour of a store."""
