"""How does the agent reach its host: mounts, files that tenants wrote, the API server?"""
