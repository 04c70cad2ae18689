"""What can be done from a shell? See `commands.py`.

Offers the commands of `bcom-graphql`. Must not know GraphQL.
"""
