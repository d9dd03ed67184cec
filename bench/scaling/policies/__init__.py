"""Other autoscalers as policies, to compare with: each from its own documents and code, none of it in the product."""
