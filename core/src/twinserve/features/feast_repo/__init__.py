"""The feature repo: definitions, sources, views, services, registry and store, in Feast's terms and in ours."""
