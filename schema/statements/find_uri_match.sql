-- How the database matches URIs, as its functions do.
SELECT presence_uri_match()
