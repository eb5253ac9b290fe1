CREATE EXTERNAL TABLE meterlake.price_matches
LOCATION 's3://LAKE/tables/price_matches/'
TBLPROPERTIES ('table_type' = 'DELTA');
