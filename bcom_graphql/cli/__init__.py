"""What can be done from a shell? One module per command, imported when that command is called; see `commands.py`.

Offers the commands of `bcom-graphql`. Must not know how GraphQL operations are executed.
"""
