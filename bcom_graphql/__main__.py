"""`python -m bcom_graphql` is `bcom-graphql`."""

from bcom_graphql.cli.commands import main

main()
