"""What callers ask of the engine and what it answers; plain values between ``rpc`` and the engine."""
