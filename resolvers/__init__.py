"""What happens then? Access first, then work, then tell. Takes plain values, returns rows, raises `ClientError`s."""
