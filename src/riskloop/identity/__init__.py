"""Who asks, and what they may do: keys, logins, sessions, single sign-on. No HTTP framework in here."""
