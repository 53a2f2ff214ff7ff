-- How many rows would be of somebody else under a setting: $1.
SELECT presence_uri_match_rows($1::smallint)
