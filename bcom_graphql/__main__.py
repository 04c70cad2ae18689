"""`python -m bcom_graphql` is `bcom-graphql`."""

from bcom_graphql.cli import main

main()
