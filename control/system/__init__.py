"""The kernel's side of the firewall: links, routes, sysctls, the hook, mirrors of its tables."""
