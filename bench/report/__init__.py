"""What is shown of records: tables, plots, comparisons, pages."""
