CREATE EXTERNAL TABLE meterlake.request_counts
LOCATION 's3://LAKE/tables/request_counts/'
TBLPROPERTIES ('table_type' = 'DELTA');
