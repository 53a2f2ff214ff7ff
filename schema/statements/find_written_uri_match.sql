-- How the database matches URIs, as it was written down; null before the first time.
SELECT uri_match FROM cluster
