"""What is odd, why, and what helps? Arrays in, findings out: no clock, no database, no unseeded randomness."""
