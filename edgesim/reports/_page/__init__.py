"""What `edgesim.reports.page` is made of."""
