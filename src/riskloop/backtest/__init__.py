"""Back-tests: a labelled history played through the loop in time order, outcomes arriving as late as they would."""
