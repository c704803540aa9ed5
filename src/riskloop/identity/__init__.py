"""Who asks, and what they may do: keys, logins, sessions, trusted proxies. No HTTP framework in here."""
