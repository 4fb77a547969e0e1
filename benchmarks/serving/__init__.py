"""`crumb serve` beside other servers, under load, and over time."""
