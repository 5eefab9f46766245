"""The batch path: from conversations to arrays without an object per segment or token."""
