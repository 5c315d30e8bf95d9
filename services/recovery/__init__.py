"""Plans and runs failovers: findings become plans, plans become recoveries."""
