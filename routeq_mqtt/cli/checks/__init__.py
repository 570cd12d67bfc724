"""Commands that check and measure: doctor, health, settings, bench."""
