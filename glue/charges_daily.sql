CREATE EXTERNAL TABLE meterlake.charges_daily
LOCATION 's3://LAKE/tables/charges_daily/'
TBLPROPERTIES ('table_type' = 'DELTA');
