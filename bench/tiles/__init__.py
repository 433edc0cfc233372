"""Every kernel there is for a layer, each forced and timed, beside what the chooser takes."""
