"""What can clients say? Declare, call one resolver, wrap the row."""
